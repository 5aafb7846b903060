"""What the master reports to systemd."""
