"""The admin process: page, metrics, and a short list of things to do to a site. An ordinary WSGI application
on our own loop; all that it knows and does, it asks of the master.
"""
