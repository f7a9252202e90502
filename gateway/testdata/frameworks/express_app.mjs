// Answers how Express reads a request, with the module that overrides methods.
import express from "express";
import methodOverride from "method-override";

const app = express();
for (const getter of ["X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override", "_method"]) {
  app.use(methodOverride(getter));
}
app.use((request, response) => {
  response.type("text/plain").send(`${request.method} ${request.path}\n`);
});
app.listen(Number(process.argv[2]), "127.0.0.1");
