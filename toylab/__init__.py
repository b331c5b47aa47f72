"""toylab: persona selection against new-goal formation, measured."""

__version__ = "0.1.0"
