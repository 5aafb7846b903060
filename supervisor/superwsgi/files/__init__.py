"""Files that are sent in the place of the application's answer: those of `static`, and those that it names in
X-Accel-Redirect or X-Sendfile. WSGI around the application, where the site file asks for it.
"""
