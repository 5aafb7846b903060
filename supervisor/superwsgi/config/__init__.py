"""What superwsgi is told about a site: the schema, its loading, and errors that say what to write instead.

The lowest room: imports none of the others, starts nothing, opens nothing but the site file and what that
names for values. Nothing is imported here, because molds and workers want the schema without the YAML that
master and command line read.
"""
