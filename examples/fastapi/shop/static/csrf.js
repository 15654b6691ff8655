// Mattermost takes the user away from a cookie request that is not a GET and has no CSRF token.
// The token is in the cookie MMCSRF, which scripts may read.
function csrfHeaders() {
  const cookie = document.cookie.split("; ").find((pair) => pair.startsWith("MMCSRF="));
  return cookie ? { "X-CSRF-Token": cookie.slice("MMCSRF=".length) } : {};
}
