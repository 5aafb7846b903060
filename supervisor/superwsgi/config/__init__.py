"""What superwsgi is told about a site: the schema, its loading, and errors that say what to write instead.

The lowest room: imports none of the others, starts nothing, opens nothing but the site file.
"""

from superwsgi.config.errors import ConfigError, Problem
from superwsgi.config.loading import from_options, load
from superwsgi.config.reference import markdown_table, reference
from superwsgi.config.schema import Site

__all__ = ["ConfigError", "Problem", "Site", "from_options", "load", "markdown_table", "reference"]
