"""The terms that photo and panels use, each explained in two sentences, and where each is used."""

TERMS: dict[str, str] = {
    "query": (
        "The token that attends: the patch under the pointer, a pinned patch, several patches or a prefix token. "
        "Every panel shows the same query."
    ),
    "token": (
        "A vector that stands for one patch, or for no place at all. A transformer only computes with tokens."
    ),
    "patch": (
        "A small square of the photo, such as 16×16 pixels. The model turns each patch into one token."
    ),
    "prefix token": (
        "A token without a place on the photo: class, distillation or a register. "
        "It takes part in attention, so some weight lies on it and not on patches."
    ),
    "class token": (
        "A token without a place that collects what is needed to name a class. "
        "In many models the prediction is read from it after the last layer."
    ),
    "distillation": (
        "A second token without a place, which learned from another network while the model was trained. "
        "A distilled model predicts with both tokens, or with one of them."
    ),
    "attends to": (
        "What the query reads: its row of the attention matrix. "
        "“Attended by” is the other direction, which tokens read the query."
    ),
    "share of attention": (
        "How much of a token's attention goes to another token. All shares of one token add up to 1."
    ),
    "× uniform": (
        "The weight that each token would have if attention were spread evenly over all of them. "
        "“8× uniform” means eight times this weight."
    ),
    "Σ patches": (
        "The sum of the map over all patches. What is missing to 1 lies on prefix tokens or on padding."
    ),
    "padding": (
        "Rows and columns that a model adds at the edges so that its windows fit. They show nothing of the photo."
    ),
    "exact": (
        "The attention shown was recomputed and agrees with what the model itself gave; the number is the largest relative "
        "error. A click on the badge lists the five claims that were proved."
    ),
    "layer": (
        "One step of the model in which all tokens attend to one another. Early layers come first and have low numbers."
    ),
    "head": (
        "Each layer attends several times side by side, and each of these is a head. "
        "Heads of one layer can look at very different things."
    ),
    "mean of heads": (
        "The average of the maps of all heads of a layer. The Heads panel selects a single one."
    ),
    "own maximum": (
        "Each picture is coloured up to its own largest value, so that weak ones can be seen too. "
        "Colours of two such pictures must not be compared."
    ),
    "one scale": (
        "All pictures have the same colours for the same values. Weak ones are then dark, but they can be compared."
    ),
    "logarithmic": (
        "Equal steps of colour stand for equal factors, such as ten times as much. Small values become visible."
    ),
    "attention distance": (
        "How far the patches that are attended to lie from the query on average, in pixels of the model's input. "
        "Small means local, large means global."
    ),
    "not renormalised": (
        "Weight on prefix tokens is counted as distance 0. Otherwise the weights on patches alone are scaled to add up to 1."
    ),
    "entropy": (
        "How widely attention is spread over tokens. It is 0 if all of it goes to one token and 1 if it is even."
    ),
    "even": (
        "What would be found if all weights, classes or patches were equal. It is drawn so that other numbers can be "
        "compared with it."
    ),
    "similarity": (
        "The cosine of the angle between two vectors: 1 if they point the same way, 0 if they have nothing in common. "
        "It does not depend on their lengths."
    ),
    "% of a class": (
        "The probability that the model gives a class: the softmax of its outputs. All classes together have 100 %."
    ),
    "explained class": (
        "The class for which class-specific methods, such as relevance, look for evidence. "
        "Without a choice it is the likeliest one."
    ),
    "attention matrix": (
        "All attention of one head: row i holds what token i attends to, column j by whom token j is attended. "
        "Every row adds up to 1."
    ),
    "receives": (
        "The mean weight that a token gets from all others, its column. “Keeps” is the weight that it gives to itself."
    ),
    "window": (
        "A square of tokens that attend only to one another. Swin uses windows because attention over all tokens costs more."
    ),
    "shift": (
        "In every second layer Swin moves its windows by half a window. Tokens that were apart then meet in one window."
    ),
    "region": (
        "After the shift a window may hold pieces from opposite edges of the photo. "
        "Each piece is a region, and a mask keeps regions from attending to one another."
    ),
    "masked": (
        "Not allowed to attend: the model makes this weight 0 whatever the tokens look like. "
        "Swin masks pairs of tokens that only the shift brought together."
    ),
    "merging": (
        "Between stages Swin joins 2×2 tokens into one. The grid has then half as many rows and columns."
    ),
    "position bias": (
        "A learned number for each distance between two tokens of a window, added before the softmax. "
        "It tells the model where tokens lie."
    ),
    "logit lens": (
        "The model's own last step, used on the tokens of an earlier layer. "
        "It shows how the prediction forms, although early layers were not trained for this."
    ),
    "logit": (
        "The number before the softmax. One more of it makes a weight or a probability e = 2.7 times as large against "
        "the others."
    ),
    "position embedding": (
        "A learned vector that is added to each patch and says where the patch lies. "
        "“Stored” is how it was trained, “as used” is after it was fitted to this input size."
    ),
    "principal components": (
        "The directions in which many vectors differ most, the strongest first. "
        "With three of them drawn as red, green and blue, patches of similar colour have similar vectors."
    ),
    "length": (
        "The Euclidean norm of a vector. A long vector has more influence when it is added to others."
    ),
    "content": (
        "The part of a logit that comes from what the patches look like. "
        "The part called position comes from where they lie."
    ),
    "filter": (
        "The weights with which a patch is turned into one number of its token. "
        "As a picture a filter shows the pattern it answers to most."
    ),
    "stem": (
        "Layers before the first token, such as convolutions, through which some models see the photo. "
        "Their patches overlap."
    ),
    "standard deviation": (
        "How much the values of a colour channel vary over many photos. "
        "The model gets each channel less its mean and divided by this number."
    ),
    "deletion": (
        "The patches that matter most by a map are covered first, and the class's probability should fall quickly. "
        "A small area under the curve is good."
    ),
    "insertion": (
        "The patches that matter most by a map are uncovered first, and the class's probability should rise quickly. "
        "A large area under the curve is good."
    ),
    "random orders": (
        "The same curve with patches in an order drawn by chance, several times. A useful map is clearly better than these."
    ),
    "± 95 %": (
        "The interval in which the true mean lies with a confidence of 95 %. It is narrower with more samples."
    ),
    "mean colour": (
        "What a covered patch is replaced by: the mean colour of the photo, or the blurred photo. "
        "The curves depend on this choice."
    ),
    "hottest patch": (
        "The patch with the map's largest value. It is a hit if it lies on the object; chance says how often a random patch "
        "would."
    ),
}
"""By term, as it is written in the help."""

PLACES: dict[str, tuple[str, ...]] = {
    "photo": (
        "query",
        "attends to",
        "share of attention",
        "× uniform",
        "Σ patches",
        "class token",
        "prefix token",
        "distillation",
        "padding",
        "layer",
        "head",
        "mean of heads",
        "own maximum",
        "logarithmic",
        "exact",
    ),
    "heads": (
        "query",
        "attends to",
        "layer",
        "head",
        "class token",
        "distillation",
        "attention distance",
        "entropy",
        "× uniform",
        "own maximum",
        "one scale",
        "even",
    ),
    "predictions": ("% of a class", "explained class", "class token", "distillation", "logit"),
    "layers": (
        "query",
        "attends to",
        "layer",
        "head",
        "mean of heads",
        "class token",
        "distillation",
        "own maximum",
        "one scale",
        "explained class",
    ),
    "tokens": (
        "attention matrix",
        "token",
        "query",
        "patch",
        "prefix token",
        "class token",
        "distillation",
        "receives",
        "× uniform",
        "head",
        "mean of heads",
        "window",
        "padding",
        "masked",
        "logarithmic",
    ),
    "lens": (
        "logit lens",
        "layer",
        "class token",
        "distillation",
        "% of a class",
        "even",
        "logarithmic",
        "logit",
        "merging",
    ),
    "statistics": (
        "attention distance",
        "not renormalised",
        "entropy",
        "class token",
        "distillation",
        "prefix token",
        "similarity",
        "head",
        "layer",
        "even",
        "± 95 %",
    ),
    "windows": (
        "window",
        "shift",
        "region",
        "masked",
        "merging",
        "padding",
        "position bias",
        "attention matrix",
        "attends to",
        "token",
        "head",
        "mean of heads",
        "own maximum",
        "logit",
    ),
    "positions": (
        "position embedding",
        "similarity",
        "principal components",
        "length",
        "logit",
        "content",
        "query",
        "head",
        "mean of heads",
        "padding",
        "masked",
        "own maximum",
        "one scale",
        "× uniform",
        "class token",
        "prefix token",
    ),
    "patches": ("patch", "token", "filter", "principal components", "length", "stem", "standard deviation"),
    "faithfulness": (
        "deletion",
        "insertion",
        "random orders",
        "± 95 %",
        "mean colour",
        "hottest patch",
        "even",
        "% of a class",
        "explained class",
    ),
}
"""The terms of the photo and of each panel by its name, in the order of the help."""


def explained(place: str) -> list[tuple[str, str]]:
    """The terms of the photo or of a panel, each with its explanation; none for a panel that lists none."""
    return [(term, TERMS[term]) for term in PLACES.get(place, ())]
