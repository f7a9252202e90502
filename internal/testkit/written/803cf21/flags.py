"""A flag server (OFREP) for the fixtures: python3 flags.py PORT."""
import http.server, json, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["context"]
        where = asked.get("jurisdiction")
        flags = [
            {"key": "end-to-end-encryption", "value": where != "PT", "reason": "TARGETING_MATCH"},
            {"key": "message-retention-days", "value": 0, "reason": "STATIC"},
        ]
        if where == "SE":
            flags.append({"key": "exitgate.phase", "value": "wind-down", "reason": "STATIC"})
        body = json.dumps({"flags": flags}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
