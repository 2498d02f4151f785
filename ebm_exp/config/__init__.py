"""Composing, checking, building and reading configs."""
