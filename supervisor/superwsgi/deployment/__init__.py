"""What else a site needs where it is put into service: units of systemd, an image, the proxy in front. What
they say follows from the site, by pure functions; the texts are the files of templates/.
"""
