"""Covariance of daily returns: estimates of it, portfolios made by them, and how good these turned out."""
