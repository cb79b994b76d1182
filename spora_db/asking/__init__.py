"""What somebody types: cut into statements, completed, answered in columns that every form of output can hold."""

from spora_db.asking.answers import answer, explained
from spora_db.asking.completion import After, Completer

__all__ = ["After", "Completer", "answer", "explained"]
