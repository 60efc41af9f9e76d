"""What the three recurrent systems share beside their networks: settings, files, replies."""
