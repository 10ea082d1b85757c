"""The example plant: a recorded steel works, a simulated finishing mill, and a player that sends both over MQTT."""
