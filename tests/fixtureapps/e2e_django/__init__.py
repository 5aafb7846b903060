"""A minimal Django project: settings, urls, views, a template, wsgi."""
