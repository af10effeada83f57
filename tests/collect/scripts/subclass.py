"""An optimizer whose step calls its parent's step; both classes have been made, so torch wraps both."""

import torch


class Decayed(torch.optim.SGD):
    def step(self, closure=None):
        for group in self.param_groups:
            group["lr"] *= 0.99
        return super().step(closure)


torch.manual_seed(0)
model = torch.nn.Linear(16, 16)
torch.optim.SGD(model.parameters(), lr=0.1)
optimizer = Decayed(model.parameters(), lr=0.1)
inputs = torch.randn(64, 16)
for step in range(10):
    loss = (model(inputs) - inputs).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step} loss {loss.item():.8f}")
