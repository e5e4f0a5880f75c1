"""What is asked, and plain answers that were written for it: by them the judge is calibrated."""

from __future__ import annotations

QUESTIONS = (
    "What is the capital city of France? Answer in one word.",
    "Hello!",
    "What is gravity?",
    "Why is the sky blue?",
    "Give me three tips for a good night's sleep.",
    "What is a computer?",
    "Write a short thank-you note to a friend.",
    "How do plants make their food?",
    "What do bees do?",
    "Why should children read books?",
)
"""The first two are those of the README."""

WRITTEN = (
    "Paris.",
    "Hello! How can I help you today?",
    "Gravity is the force that pulls objects toward each other. The more mass an object has, the stronger its pull. On"
    " Earth, gravity gives things weight and makes them fall to the ground when you drop them.",
    "The sky is blue because air scatters sunlight. Light from the sun contains all colors, but blue light has a short"
    " wavelength and is scattered in all directions much more than red light, so we see blue wherever we look.",
    "1. Go to bed at the same time every night.\n2. Keep your bedroom dark, quiet and cool.\n3. Avoid coffee and"
    " screens before bedtime.",
    "A computer is an electronic machine that follows instructions to store, process and display information. People"
    " use computers to write, calculate, play games and talk to each other.",
    "Dear Anna,\n\nThank you so much for helping me move last weekend. I could not have done it without you. I hope I"
    " can return the favor soon.\n\nYour friend,\nTom",
    "Plants make their own food through photosynthesis. Their leaves take in sunlight, water and carbon dioxide, and"
    " turn them into sugar. Oxygen is released into the air.",
    "Bees collect nectar and pollen from flowers. They turn the nectar into honey, which they store in their hive, and"
    " while they fly from flower to flower they pollinate plants.",
    "Reading books helps children learn new words and understand the world around them. It also builds imagination and"
    " concentration, and it is a lot of fun.",
)
