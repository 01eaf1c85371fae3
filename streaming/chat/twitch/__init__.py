"""Twitch: chat by IRC over a WebSocket, events by EventSub."""
