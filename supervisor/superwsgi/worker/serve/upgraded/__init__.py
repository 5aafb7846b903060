"""Connections that the application takes over, to speak another protocol on them."""
