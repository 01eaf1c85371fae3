"""Every patch, kit and style as files to hear and look at, with figures. Offline."""
