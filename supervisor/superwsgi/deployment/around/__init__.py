"""What stands around a site: the proxy in front, an image, a pod, the rotation of logs."""
