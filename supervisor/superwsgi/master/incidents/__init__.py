"""What has gone wrong: kept, put into words, and shown by `superwsgi why`."""
