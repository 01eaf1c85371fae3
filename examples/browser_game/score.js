/* All that the game tells its music beforehand: states, the ways between them, and what danger does. */

const SCORE = {
  initial: "calm",
  states: {
    calm: { mood: "night", energy: 0.3, bpm: 92 },
    combat: { mood: "epic", bpm: 132, key: "D minor", priority: 1 },
    victory: { mood: "victory", bpm: 120, key: "D major" },
  },
  transitions: [
    { from: "*", to: "combat", at: "beat", how: "cut" }, // at once, with a hit over the seam
    { from: "combat", to: "victory", at: "beat", how: "cut", stinger: "success" },
    { from: "*", to: "calm", at: "bar", over: "2 bars" },
  ],
  parameters: {
    danger: {
      smooth: 0.3,
      to: [
        {
          field: "tension",
          curve: [
            [0, 0.1],
            [1, 0.8],
          ],
        },
        {
          field: "brightness",
          curve: [
            [0, 0.4],
            [1, 0.75],
          ],
        },
      ],
    },
  },
};
