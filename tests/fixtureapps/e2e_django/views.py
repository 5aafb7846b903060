import io

from django.core.exceptions import PermissionDenied
from django.http import FileResponse, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt


def _page(request):
    return request.build_absolute_uri(reverse("page", args=["a b"]))


def index(request):
    return JsonResponse({"self": reverse("index"), "page": _page(request)})


def page(request, name):
    return render(request, "page.html", {"name": name})


def client(request):
    return JsonResponse(
        {
            "address": request.META["REMOTE_ADDR"],
            "secure": request.is_secure(),
            "page": request.build_absolute_uri(reverse("page", args=["new"])),
            "server": request.META["SERVER_NAME"],
            "port": request.META["SERVER_PORT"],
            "forwarded": sorted(key for key in request.META if "FORWARDED" in key),
        }
    )


@csrf_exempt
def upload(request):
    file = request.FILES["file"]
    return JsonResponse({"title": request.POST["title"], "name": file.name, "size": len(file.read())})


def count(request):
    request.session["count"] = request.session.get("count", 0) + 1
    return HttpResponse(str(request.session["count"]))


def stream(request):
    return StreamingHttpResponse((f"piece {i}\n" for i in range(3)), content_type="text/plain")


def file(request):
    return FileResponse(open(__file__, "rb"), content_type="text/plain")


def memory(request):
    return FileResponse(io.BytesIO(b"in memory"), content_type="text/plain")


def moved(request):
    return HttpResponseRedirect(request.build_absolute_uri(reverse("page", args=["new"])))


def fails(request):
    raise ValueError("secret of the view")


def forbidden(request):
    raise PermissionDenied
