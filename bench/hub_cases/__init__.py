"""What a hub's page costs those who look and the hub, and how soon it tells what is wrong."""
