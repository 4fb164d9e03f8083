"""Mistakes in the test log-likelihood, the active units, the table of bounds and DReG: name, (title, advice, what it costs)."""

__all__ = ["ACTIVE_UNITS", "DREG", "LIKELIHOOD", "TABLE"]

VALUE = ("value",)

LIKELIHOOD = {
    "chunks_averaged": (
        "The bounds of the chunks are averaged.",
        "The mean of logarithms is too low: it is L_chunk, not L_K. Add up the weights of all chunks (logaddexp), and take one "
        "logarithm.", VALUE,
    ),
    "chunks_equally_weighted": (
        "A short last chunk counts as much as a full one.",
        "Add up sums of weights, not means; subtract log K once, at the end.", VALUE,
    ),
    "mean_of_logs": ("This is the mean of the log-weights, the ELBO.", "logsumexp over all K samples, minus log K.", VALUE),
    "log_k_missing": ("log K is not subtracted.", "Subtract log(num_samples) at the end.", VALUE),
    "log_of_the_chunk": (
        "The logarithm of the chunk is subtracted, not that of all samples.",
        "Subtract log(num_samples), once, at the end.", VALUE,
    ),
    "last_chunk_only": ("Only the last chunk counts.", "Keep the logsumexp so far and add the next one: torch.logaddexp.", VALUE),
    "last_chunk_left_out": (
        "The last, smaller chunk is left out.",
        "num_samples need not be a multiple of chunk: its size is min(chunk, num_samples - done).", VALUE,
    ),
    "fewer_samples_than_a_chunk": (
        "It stops where all samples fit into one chunk.",
        "chunk is the largest number of samples at once, and may be larger than num_samples: take min(chunk, num_samples - done).", VALUE,
    ),
    "more_samples_than_asked": (
        "More samples were drawn than asked for.",
        "The last chunk's size is min(chunk, num_samples - done).", VALUE,
    ),
    "starts_from_zero": (
        "The running sum of logarithms starts at 0, which is log 1.",
        "A sum of weights starts at 0, so its logarithm starts at -infinity: use float('-inf'), or begin with the first chunk.", VALUE,
    ),
    "sum_of_chunks": (
        "The logarithms of the chunks are added up.",
        "That multiplies sums. Add the sums themselves: torch.logaddexp.", VALUE,
    ),
    "best_sample_only": ("Only the largest weight counts.", "logsumexp adds up all weights.", VALUE),
    "bound_negated": ("The sign is turned.", "Return log p(x), which is negative for binary images.", VALUE),
    "exp_underflows": ("exp(log w) is 0 in floating point.", "Add up weights in logarithms: logsumexp and logaddexp.", VALUE),
    "averaged_over_the_batch": ("The batch is averaged or summed, too.", "Return one estimate for each example, shape (batch,).", VALUE),
    "num_samples_ignored": ("Fewer samples were drawn than asked for.", "All chunks together hold num_samples samples.", VALUE),
    "decodes_the_mean": ("The mean of q is decoded in place of samples.", "Draw from q: qz.sample((size,)).", VALUE),
    "samples_from_the_prior": ("The samples come from the prior.", "Draw from q(z|x) and divide by its density.", VALUE),
    "same_samples_in_every_chunk": (
        "Every chunk holds the same samples.",
        "Draw anew in each pass of the loop, and set no seed in it.", VALUE,
    ),
    "one_z_for_the_batch": (
        "All examples of the batch get the same latents.",
        "Each x has a q(z|x) of its own: draw from it, shape (size, batch, M).", VALUE,
    ),
    "samples_shared_across_the_batch": ("All examples share the same noise.", "Draw noise of shape (size, batch, M).", VALUE),
    "changes_its_inputs": ("x is changed in place.", "Make a new tensor.", VALUE),
    "chunk_ignored": (
        "All samples are decoded at once.",
        "Decode at most chunk samples of each example at a time: 5,000 samples of 100 images are 1.6 GB of logits.", ("memory",),
    ),
    "encodes_for_each_chunk": (
        "The images are encoded anew for every chunk.",
        "q(z|x) does not change: ask model.posterior(x) once, before the loop.", ("encoder",),
    ),
    "keeps_the_graph": (
        "The result carries a graph.",
        "Nothing is trained here. Without torch.no_grad() every chunk's activations stay in memory.", ("graph",),
    ),
}

ACTIVE_UNITS = {
    "samples_for_means": (
        "The variance is that of samples.",
        "A latent that is pure noise would count as active. Take the variance of the means: model.posterior(x).mean.", ("variances",),
    ),
    "variance_of_the_posterior": (
        "This is the variance of q itself.",
        "Asked for is how far its mean moves from image to image.", ("variances",),
    ),
    "variance_over_the_latents": (
        "The variance is taken over the latents.",
        "One number for each latent: over the images, dim=0.", ("variances", "count"),
    ),
    "one_variance_for_all": (
        "There is one variance for all latents.",
        "One number for each latent: over the images, dim=0.", ("variances", "count"),
    ),
    "standard_deviation": ("This is the standard deviation.", "The threshold 0.01 is one for variances.", ("variances",)),
    "second_moment": (
        "This is the mean square.",
        "A mean that is large and never moves tells nothing of x: subtract it first. var does.", ("variances",),
    ),
    "mean_of_the_means": ("This is the mean of the posterior means.", "Asked for is their variance over the images.", ("variances",)),
    "log_sigma_for_mean": ("This is how log_sigma moves.", "Take model.posterior(x).mean.", ("variances",)),
    "sigma_for_mean": ("This is how sigma moves.", "Take model.posterior(x).mean.", ("variances",)),
    "another_threshold": ("Another threshold than 0.01 is used.", "Count the variances above 0.01 (Burda et al. 2016).", ("count",)),
    "inactive_counted": ("The inactive latents are counted.", "Count the variances above 0.01.", ("count",)),
    "fraction_for_count": ("This is a fraction; their number is asked for.", "Sum, and do not average.", ("count",)),
    "images_counted": ("More units are counted than there are latents.", "Compare one variance for each latent with 0.01.", ("count",)),
    "changes_its_inputs": ("x is changed in place.", "Make a new tensor.", ("variances", "count")),
}

TABLE = {
    "diverged": (
        "Some entries are NaN or infinite.",
        "Look at the model's training, or for an exp of large numbers.", ("table", "values", "growth"),
    ),
    "same_evaluation_twice": (
        "The same number is recorded for different numbers of samples.",
        "Evaluate anew inside the loop, with that row's num_samples.", ("table", "growth"),
    ),
    "loss_recorded": ("The bound has the wrong sign.", "Record the bound, which is negative, not the loss.", ("values", "growth")),
    "mean_over_pixels": ("Values are averaged over the pixels.", "Sum over the 784 pixels, average over the images.", ("values", "growth")),
    "sum_over_batch": ("Values are summed over the images.", "Record the mean over the images.", ("values", "growth")),
    "untrained": (
        "The bounds are those of a network that has not been trained.",
        "Evaluate the model that was trained above.", ("values", "growth"),
    ),
    "ess_is_a_fraction": (
        "An effective sample size lies below 1.",
        "One sample always counts as one: 1 / sum of squared normalized weights lies between 1 and K.", ("values",),
    ),
    "ess_out_of_range": (
        "An effective sample size is larger than the number of samples.",
        "Take the mean over the images, not the sum, and normalize the weights over the samples.", ("values",),
    ),
    "mean_of_logs": (
        "The bound does not grow with the number of samples: this is the ELBO.",
        "L_K is the logarithm of the mean weight. The mean of the log-weights is the same for every K.", ("growth",),
    ),
    "log_k_missing": ("The bound goes on growing by log K.", "Subtract log K: the weights are averaged, not summed.", ("growth",)),
    "log_k_counted_twice": ("The bound falls by log K.", "Subtract log K once.", ("growth",)),
    "bound_falls": (
        "The bound falls with the number of samples.",
        "L_K grows with K. Use the same model and the same images in every row, and enough of them.", ("growth",),
    ),
}

DREG = {
    "gradient_of_the_bound": (
        "The encoder gets the gradient of L_K itself.",
        "Stop q's parameters in log q(z|x), and square the stopped weights.", ("gradient",),
    ),
    "weights_not_squared": (
        "The weights are not squared.",
        "The encoder's gradient has the squared normalized weights (Tucker et al. 2019, equation 8).", ("gradient",),
    ),
    "weights_carry_gradient": ("The gradient also goes through the weights.", "Stop them: softmax(log_w, 0).detach().", ("gradient",)),
    "posterior_not_stopped": (
        "The parameters of q are not stopped in log q(z|x).",
        "Evaluate log q(z|x) with qz.mu.detach() and qz.log_sigma.detach(); z itself keeps its gradient.", ("gradient",),
    ),
    "sign_flipped": ("The gradient points the wrong way.", "The surrogate has to become large: return it without a minus.", ("gradient",)),
    "bound_without_graph": (
        "The surrogate carries no gradient.",
        "Only the weights and q's parameters in log q are stopped; z keeps its gradient.", ("gradient",),
    ),
}
