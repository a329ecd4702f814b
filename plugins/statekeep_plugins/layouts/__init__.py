"""How the conversations of frameworks are stored in journals.

Adapters and importers share these layouts, so an adapter can continue an imported conversation.
Nothing here imports a framework.
"""
