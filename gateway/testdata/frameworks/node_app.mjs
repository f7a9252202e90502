// Answers how services on Node's http read a request: by the URL of its target,
// and by that of its decoded target.
import { createServer } from "node:http";

createServer((request, response) => {
  const read = (target) => {
    try {
      return new URL(target, "http://app.example").pathname;
    } catch {
      return "";
    }
  };
  const decode = (text) => {
    try {
      return decodeURIComponent(text);
    } catch {
      return "";
    }
  };
  const paths = [read(request.url), decode(read(request.url)), read(decode(request.url))];
  response.setHeader("Content-Type", "text/plain");
  response.end(paths.map((path) => `${request.method} ${path}\n`).join(""));
}).listen(Number(process.argv[2]), "127.0.0.1");
