"""The Forward protocol, client side: a pure core and one thin asyncio shell."""
