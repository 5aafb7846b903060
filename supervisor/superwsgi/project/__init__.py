"""What can be found out about the folder of a project without running any of its code."""
