"""Sections of the site file whose keys are names that the operator chooses."""
