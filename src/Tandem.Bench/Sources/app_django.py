# The settings that "django-admin startproject" writes, less templates and the database, which this request never meets.
from django.conf import settings

settings.configure(
    DEBUG=False,
    SECRET_KEY="only-for-the-bench",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "django.contrib.messages"],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
)

from django.core.wsgi import get_wsgi_application
from django.http import Http404, JsonResponse
from django.urls import path


def health(request):
    return JsonResponse({"status": "healthy"})


cache = {f"k{i}": {"key": f"k{i}", "value": f"value-{i}"} for i in range(1000)}


def cached(request, key):
    if (found := cache.get(key)) is None:
        raise Http404
    return JsonResponse(found)


urlpatterns = [path("health", health), path("cached/<str:key>", cached)]
application = get_wsgi_application()
