/* The description of the interface, in Swagger UI, which the server brings along. */

SwaggerUIBundle({
  url: "openapi.json", // relative: it stays under whatever prefix the page is found at
  dom_id: "#viewer",
  deepLinking: true,
  validatorUrl: null,
  tryItOutEnabled: true,
  defaultModelRendering: "example",
});
