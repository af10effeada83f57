"""A critic that steps three times for each step of the generator: the critic, seen first, sets the beat."""

import torch

torch.manual_seed(0)
generator, critic = torch.nn.Linear(8, 16), torch.nn.Linear(16, 1)
of_generator = torch.optim.Adam(generator.parameters())
of_critic = torch.optim.Adam(critic.parameters())
for step in range(12):
    noise = torch.randn(32, 8)
    loss = critic(torch.randn(32, 16)).mean() - critic(generator(noise).detach()).mean()
    of_critic.zero_grad()
    loss.backward()
    of_critic.step()
    if step % 3 == 2:
        of_generator.zero_grad()
        (-critic(generator(noise)).mean()).backward()
        of_generator.step()
    print(f"step {step} loss {loss.item():.8f}")
