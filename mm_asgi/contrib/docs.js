// Swagger UI with Mattermost's CSRF token: "Try it out" as the logged-in user.
{
  const place = document.getElementById("swagger-ui");
  const { initOAuth, ...options } = JSON.parse(place.dataset.options);
  if (options.oauth2RedirectUrl) {
    options.oauth2RedirectUrl = new URL(options.oauth2RedirectUrl, location.href).href;
  }
  const ui = SwaggerUIBundle({
    ...options,
    domNode: place,
    requestInterceptor(request) {
      const cookie = document.cookie.split("; ").find((pair) => pair.startsWith("MMCSRF="));
      // The token is for this server alone, and the schema may name others.
      if (cookie && new URL(request.url, location.href).origin === location.origin) {
        request.headers["X-CSRF-Token"] = cookie.slice("MMCSRF=".length);
      }
      return request;
    },
  });
  if (initOAuth) ui.initOAuth(initOAuth);
}
