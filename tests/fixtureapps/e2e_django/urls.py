from django.urls import path

from e2e_django import views

urlpatterns = [
    path("", views.index, name="index"),
    path("page/<str:name>", views.page, name="page"),
    path("client", views.client),
    path("upload", views.upload, name="upload"),
    path("count", views.count),
    path("stream", views.stream),
    path("file", views.file),
    path("memory", views.memory),
    path("moved", views.moved),
    path("fails", views.fails),
    path("forbidden", views.forbidden),
]
