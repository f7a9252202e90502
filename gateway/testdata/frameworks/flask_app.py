# Answers how Flask reads a request.
import sys
from flask import Flask, Response, request

app = Flask(__name__)


@app.before_request
def read():
    return Response(f"{request.method} {request.path}\n", mimetype="text/plain")


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]))
