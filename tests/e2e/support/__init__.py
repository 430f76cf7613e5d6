"""What end-to-end tests share: upstreams with scripted behaviour, a raw client, the command."""
