SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  // "Try it out" as the logged-in user.
  requestInterceptor(request) {
    Object.assign(request.headers, csrfHeaders());
    return request;
  },
});
