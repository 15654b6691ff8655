// Beside Django's own token Mattermost wants its own, else it takes the user away from a POST.
// It is in the cookie MMCSRF, which scripts may read; a form sends it as the field "csrf".
const cookie = document.cookie.split("; ").find((pair) => pair.startsWith("MMCSRF="));
if (cookie) {
  for (const field of document.querySelectorAll("input[name=csrf]")) {
    field.value = cookie.slice("MMCSRF=".length);
  }
}
