#!/usr/bin/env python3
"""Writes prompts.jsonl: beginnings of children's stories for the demo, put together from word lists with a fixed
seed."""
import json
import random

NAMES = ["Lily", "Tom", "Mia", "Ben", "Sue", "Max", "Anna", "Tim", "Lucy", "Sam", "Ella", "Jack", "Amy", "Leo", "Zoe",
         "Bob"]
KINDS = ["boy", "girl", "dog", "cat", "bird", "bear", "rabbit", "frog", "fish", "mouse", "duck", "bunny"]
LOOKS = ["little", "small", "big", "young", "old", "brown", "white", "red", "blue", "quiet", "hungry", "tired", "lost",
         "shy"]
PLACES = ["park", "forest", "beach", "garden", "store", "farm", "school", "river", "hill", "zoo", "town", "lake"]
FAMILY = ["mom", "dad", "brother", "sister", "grandma", "grandpa", "friend"]
THINGS = ["ball", "hat", "box", "car", "book", "cake", "boat", "doll", "kite", "tree", "bike", "stick", "rock", "cup"]
DEEDS = ["play", "run", "jump", "sing", "draw", "read", "swim", "climb", "dance", "walk", "cook", "sleep"]

FORMS = [
    "Once upon a time, there was a {look} {kind} named {name}.",
    "Once upon a time, there was a {look} {kind} named {name}. {name} liked to {deed}.",
    "Once upon a time, there was a {look} {kind}. The {kind} lived near a {place}.",
    "One day, {name} went to the {place} with {other}.",
    "One day, {name} found a {look} {thing} in the {place}.",
    "{name} and {other} went to the {place}. They saw a {look} {kind}.",
    "{name} had a {look} {thing}. One day, {name} lost the {thing}.",
    "{name} wanted to {deed}, but it was raining.",
    "There was a {look} {kind} who wanted to {deed}.",
    "{name} was at the {place} with a {family}. They had a {thing}.",
]


def main():
    random.seed(20240501)
    prompts = {}
    while len(prompts) < 4000:
        name, other = random.sample(NAMES, 2)
        text = random.choice(FORMS).format(
            name=name, other=other, kind=random.choice(KINDS), look=random.choice(LOOKS), place=random.choice(PLACES),
            family=random.choice(FAMILY), thing=random.choice(THINGS), deed=random.choice(DEEDS))
        prompts[text] = None
    with open("prompts.jsonl", "w", encoding="utf-8") as out:
        for text in prompts:
            out.write(json.dumps({"prompt": text}) + "\n")


if __name__ == "__main__":
    main()
