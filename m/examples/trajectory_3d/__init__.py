"""A Mixture-of-Experts that learns to predict 3-D trajectories, in plain numpy with hand-written gradients.

A few seconds of training on two CPU cores, and real at every point: the flights are simulated, the gradients
are exact, the experts specialise because it lowers the loss. Nothing in the modules below knows how its
numbers are shown.

    arrays           names for array types
    matmul           matrix products on one thread
    regimes          the kinds of flight, as ranges of physical parameters
    physics          the equation of motion and its integration
    dataset          noisy observations in, future state out, both normalised
    layers           softmax and per-expert linear layers, with their gradients
    router           top-k routing and the load-balancing loss
    moe              the model
    optimizer        gradient clipping and Adam
    schedule         warm-up and cosine decay
    specialization   how much the choice of expert tells about the regime
    training         the training loop, one result per step
    faults           the same with something going wrong
"""
