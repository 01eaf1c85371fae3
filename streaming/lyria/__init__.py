"""The Lyria RealTime protocol: programs written for that service play and steer a station of their own."""
