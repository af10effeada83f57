"""DataLoader workers, forked or spawned as the first argument says, over a data set defined here."""

import sys

import torch
from torch.utils.data import DataLoader, Dataset


class Numbers(Dataset):
    def __len__(self):
        return 80

    def __getitem__(self, index):
        return torch.full((16,), float(index))


def main():
    torch.manual_seed(0)
    model = torch.nn.Linear(16, 16)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    loader = DataLoader(Numbers(), batch_size=8, num_workers=2, multiprocessing_context=sys.argv[1])
    for step, batch in enumerate(loader):
        loss = (model(batch) - batch).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"step {step} loss {loss.item():.6f}")


if __name__ == "__main__":
    main()
