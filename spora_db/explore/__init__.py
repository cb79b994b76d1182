"""The page that shows a lake: a server for one user on this machine, and the page's own modules in ``static``."""
