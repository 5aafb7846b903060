"""`green`: greenlets run the application, in one thread with gevent's hub. Compiled, but for the patching."""
