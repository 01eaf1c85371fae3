"""States of a game made into files for engines that play loops: what is made, and the tables that go with it."""
