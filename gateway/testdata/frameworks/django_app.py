# Answers how Django reads a request.
import sys
from wsgiref.simple_server import make_server

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import re_path


def read(request):
    return HttpResponse(f"{request.method} {request.path_info}\n", content_type="text/plain")


urlpatterns = [re_path(r"(?s).*", read)]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="none", MIDDLEWARE=[])
django.setup()
make_server("127.0.0.1", int(sys.argv[1]), get_wsgi_application()).serve_forever()
