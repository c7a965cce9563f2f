"""What a module of `outboard.spec` declares, sorted by kind, to be held against a table of the document."""

from enum import Enum


def public(module):
    """Return what the module itself declares under a public name."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", module.__name__) == module.__name__
    }


def of_class(module, base):
    """Return the module's classes that derive from `base`."""
    return {name: one for name, one in public(module).items() if isinstance(one, type) and issubclass(one, base)}


def enums(module):
    """Return the names and numbers of each enumeration."""
    return {name: {one.name: int(one) for one in enum} for name, enum in of_class(module, Enum).items()}


def numbers(module):
    """Return the numbers that stand alone."""
    return {name: value for name, value in public(module).items() if type(value) is int}
